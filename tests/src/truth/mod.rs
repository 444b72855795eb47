//! Tables of what is true and what the simulator makes of it, a module each.

pub mod capacity;
