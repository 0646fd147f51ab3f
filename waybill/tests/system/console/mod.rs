//! The page at `/console`, in a real browser.

mod appearance;
mod hostile;
mod kit;
mod lists;
mod orders;
mod sign_in;
