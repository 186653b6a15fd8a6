TEXT = "nested"
