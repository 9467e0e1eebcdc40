"""Workers and Kafka nodes under faults, with clients that remember what they were told, and a checker."""
