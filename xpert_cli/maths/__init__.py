"""Arrays in, arrays out: style axes, coordinates, selection and adapter algebra. No I/O, numpy only."""
