"""`leadtime doctor`: what would keep the controller from its work, each with what to do about it."""
