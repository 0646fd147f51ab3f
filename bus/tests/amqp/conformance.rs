//! The rules that hold for every transport.

use crate::stand::Rabbit;

bus::conformance!(Rabbit::shared(), restarting: Rabbit::of_its_own());
