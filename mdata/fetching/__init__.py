"""What fetches pages: what is wanted, what is known, what is asked for, and how an answer is stored."""
