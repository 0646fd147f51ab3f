//! A real browser, for the tests of the gateway's pages.

mod chromium;
mod devtools;

pub(crate) use chromium::Chromium;
pub(crate) use devtools::Window;
