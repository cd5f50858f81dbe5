//! A package of its own, with the drivers as its only dependencies: what must not compile is compiled
//! with all that this package has.
