"""An emulated 130 nm multi-level memristor crossbar: physics only, with the noise and the wear of a real one."""
