//! Laws that hold for every scenario, on random ones.
//!
//! `PLIMSOLL_CASES` sets how many cases each property runs (default 2,000 for the comparison of the two modes).

mod case;
mod conservation;
mod fast_forward;
mod monotone;
