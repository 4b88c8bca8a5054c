"""What the demo keeps about its visitors' work, in one database: annotations, votes."""
