//! The system that runs for a test, its clients and its tables.

mod customer;
mod four_processes;
mod one_process;
mod program;
mod stock_tables;
mod token;
mod updates;

pub(crate) use customer::{Customer, Gateway, items};
pub(crate) use four_processes::FourProcesses;
pub(crate) use one_process::OneProcess;
pub(crate) use program::{program, waybill};
pub(crate) use stock_tables::{Stock, StockTables};
pub(crate) use token::Token;
pub(crate) use updates::Updates;

/// Runs each scenario once in one process and once in four.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod in_one_process {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $scenario() {
                    let mut process = $crate::kit::OneProcess::new();
                    let gateway = process.start().await;
                    super::$scenario(gateway).await;
                    process.stop().await;
                }
            )+
        }

        mod in_four_processes {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $scenario() {
                    let mut processes = $crate::kit::FourProcesses::new().await;
                    let gateway = processes.start().await;
                    super::$scenario(gateway).await;
                    processes.stop().await;
                }
            )+
        }
    };
}
pub(crate) use on_both;
