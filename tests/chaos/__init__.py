"""What must hold whatever dies, lies or fills up: real sites, kills, outages, hostile input."""
