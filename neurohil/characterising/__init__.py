"""What an emulated chip is like: its circuits measured one by one, before and after a calibration."""
