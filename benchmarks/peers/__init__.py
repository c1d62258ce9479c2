"""What runs in the peers' own environments: nothing here imports Patchbay, and each module at most its own peer."""
