"""A rule's examples, tried: what the rule makes of them, and what they compute before and after."""
