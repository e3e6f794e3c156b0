"""Attention seen from inside: capture, exact mass, rollout, knock-out, without a T × T map."""
