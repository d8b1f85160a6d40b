"""What runs an agent, by the ``model`` of its file. A new backend is a module here and a line in ``registry``."""
