"""What the stages of the recovery network have in common: pairs made live, runs, rewards, figures."""
