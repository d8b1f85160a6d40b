"""What several tests share: real servers, processes, clients, and the checks behind `just check`."""
