//! Manager to node key distribution: signed messages and the state machines of both sides, without I/O.
