#!/bin/sh
# The gate: the cart must be fixed.
grep -q fixed cart.txt
