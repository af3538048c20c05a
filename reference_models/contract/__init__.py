"""What every attention must do: properties that tests try on the zoo's models, and a command on a user's."""
