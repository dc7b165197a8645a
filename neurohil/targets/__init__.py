"""What can be driven: an ideal neuron model and the emulated chip, behind one protocol."""
