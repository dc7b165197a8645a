"""One module per subcommand: it puts config, target, training and trace together."""
