"""The compiled engine of one chip: crossbar, synapse drivers, neurons and delay elements, event by event, with no step
of time. All jitted code of the package is here.

    records     what the engine is made of: records, shared by all kernels
    heap        what is due next
    event_path  what an event meets between neurons: crossbar outputs, links, synapse drivers, delay elements
    crossing    the membrane between two events in closed form, and when it first reaches the threshold
    saturation  what an event adds to a synaptic current
    trial_noise numbers that depend on whose they are, in whichever order an engine draws them
    lockstep    all neurons of a dense network at once
    lif         the engine for leaky integrate-and-fire neurons
    adex        the engine for neurons with adaptation and exponential upswing

`lif` and `adex` have the same door: `new_state`, `start`, `advance`, `enlarged`. The readable twins are in
`brainscales_emu.readable`, and both run the same tests.

Units: time in us, membrane in LSB above the neuron's leak, currents in LSB/us, rates in 1/us (one over a time
constant). Neurons are numbered 0..N-1 in the order of the logical neurons that are switched on, delay elements
0..D-1, sources as in `constants`. inf means "never".

Three queues feed the engine: the sorted input events; spikes on their way to the crossbar's outputs, which stay sorted
because all take equally long; and a binary heap with one place per neuron, one per delay element (when it fires), one
per crossbar output (when the first of the events that wait for it may pass), and one per queue of late events, ordered
by time, then by number. Time goes from instant to instant; what is due at one instant happens in the order that
`instant` says, and at one time.

An event takes the routes of its source: each leads through one crossbar output to synapse rows and delay elements.
Where the event path has limits, an output lets one event pass per slot of its clock. An event that finds its slot
free passes at once, otherwise it waits in the output's FIFO for the next slot that is, or is dropped and counted if
as many as fit wait already. Slots are counted in integers, so that no drop depends on how a time is rounded.

Synapses with delays of their own (see `beyond`) are driven late: an event that passes an output starts the late routes
behind it, each of which waits in a queue. All events of a queue have the same delay, so that they stay sorted.

Data are arrays of records (of float64 and int64), because numba counts references, atomically and slowly, for every
plain array that is taken out of a container, but not for a record that is taken out of an array. For the same reason
the helpers are inlined.
"""
