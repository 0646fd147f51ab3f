//! The conformance suite.

use crate::kit::Rabbit;

bus::conformance!(Rabbit::shared(), restarting: Rabbit::of_its_own());
