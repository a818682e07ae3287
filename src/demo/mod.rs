//! An embedded cloud that speaks the providers' interfaces over real HTTP on loopback.
