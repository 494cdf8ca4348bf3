//! The dashboard on a terminal that is a buffer, and the texts that scripts and people read. No privileges,
//! no Node, no terminal.

#[cfg(test)]
mod any_census;
#[cfg(test)]
mod async_origin;
#[cfg(test)]
mod census;
#[cfg(test)]
mod census_keys;
#[cfg(test)]
mod export;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod screens;
#[cfg(test)]
mod updates;
