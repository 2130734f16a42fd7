"""The executor: what happens to a claimed task between the claim and its settlement."""
