"""What is looked up about a client outside its own request: agents now; networks and names later."""
