"""The world itself: each module keeps the promise of one port."""
