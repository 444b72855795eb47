//! Laws that hold for every scenario, on random ones.
//!
//! `PLIMSOLL_CASES` asks for more cases of each property (2,000 of the comparison of the two modes are the least).

mod case;
mod closed_loop;
mod cluster;
mod conservation;
mod directed;
mod fast_forward;
mod groups;
mod groups_directed;
mod measured;
mod monotone;
mod vllm;
mod vllm_directed;
mod vllm_rare;
