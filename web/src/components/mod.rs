//! Building blocks of the page that know nothing of simulation.

pub mod breakable;
pub mod combobox;
pub mod dialog;
pub mod icon;
pub mod problems;
pub mod segmented;
pub mod shares;
pub mod table_switch;
