"""What executes an action. A new action is a module here and a line in ``registry``."""
