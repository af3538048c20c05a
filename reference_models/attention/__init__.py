"""One X-former a file: `contract` says what each is, `catalogue` finds them."""
