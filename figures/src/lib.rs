//! Figures for people: numbers, tables, plots, the page that holds them, and the machine they come from.

pub mod machine;
pub mod numbers;
pub mod page;
pub mod plot;
pub mod table;
