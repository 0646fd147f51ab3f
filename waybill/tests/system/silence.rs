//! Clients that connect and say nothing, against a process that may open few files.

use tokio::net::TcpStream;

use crate::kit::OneProcess;

/// Nearly as many as the process may open files.
const SILENT_CLIENTS: usize = 230;
const OPEN_FILES: u32 = 256;

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_say_nothing_stop_neither_requests_nor_probes() {
    let mut process = OneProcess::new().with_open_files(OPEN_FILES);
    let gateway = process.start().await;
    let line = process.process().line("the admin server listens").await.unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let admin = line["address"].as_str().unwrap();

    for address in [gateway.address(), admin] {
        let mut silent = Vec::new();
        for _ in 0..SILENT_CLIENTS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        // The port that they keep busy answers once it has closed their connections, the other one at once.
        for address in [admin, gateway.address()] {
            process.process().answers(address, "/livez").await.unwrap();
            process.process().answers(address, "/readyz").await.unwrap();
        }
        let answer = gateway.customer("CUST01").posts(r#"{"query": "{ me { id } }"}"#).await;
        assert_eq!(answer.data()["me"]["id"], "CUST01");
    }
    process.stop().await;
}
