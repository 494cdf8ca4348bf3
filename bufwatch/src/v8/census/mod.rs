//! The census of a V8 heap: which array buffers and views are alive, which views pin which parent, and who holds the views. Works on a
//! copy; how the copy is made, and of what process, is the caller's part. The result is data, without a form of its own.

pub mod area;
mod bitmap;
pub mod blank;
pub mod buffer;
pub mod copy;
mod edge;
#[cfg(test)]
mod fake;
mod fill;
mod frontier;
mod function_name;
mod handles;
pub mod heap_place;
pub mod maps;
pub mod mark;
mod marker;
pub mod name;
pub mod page_lists;
mod parallel;
mod parent;
pub mod path;
mod property;
mod references;
mod retained;
pub mod room;
pub mod roots;
mod sizes;
mod slots;
mod stack;
mod step;
pub mod store;
pub mod take;
#[cfg(test)]
mod tests;
mod text;
mod traced;
pub mod walk;
mod word_memory;
