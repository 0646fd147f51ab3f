//! A shop that is open for a test, and the people in it.

mod customer;
mod four_processes;
mod money;
mod one_process;
mod program;
mod shop;
mod socket;
mod stock_book;
mod token;

pub(crate) use customer::{Customer, items};
pub(crate) use four_processes::FourProcesses;
pub(crate) use money::times;
pub(crate) use one_process::OneProcess;
pub(crate) use program::{Program, text};
pub(crate) use shop::Shop;
pub(crate) use socket::{Said, Socket, Updates};
pub(crate) use stock_book::{Books, StockBook};
pub(crate) use token::Token;

/// Runs each scenario once in one process and once in four.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod in_one_process {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $scenario() {
                    let mut process = $crate::kit::OneProcess::new();
                    let shop = process.open().await;
                    super::$scenario(shop).await;
                    process.close().await;
                }
            )+
        }

        mod in_four_processes {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $scenario() {
                    let mut processes = $crate::kit::FourProcesses::new().await;
                    let shop = processes.open().await;
                    super::$scenario(shop).await;
                    processes.close().await;
                }
            )+
        }
    };
}
pub(crate) use on_both;
