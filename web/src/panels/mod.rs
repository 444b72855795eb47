//! The parts of the page: editor, answer, charts, and the tabs beside them.

pub mod answer;
pub mod bottleneck;
pub mod charts;
pub mod choice;
pub mod deployment;
pub mod dialogs;
pub mod editor;
pub mod frame;
pub mod lab;
pub mod memory;
pub mod number;
pub mod workload;
