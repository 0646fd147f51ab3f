use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use testkit::{Process, free_port, workspace_program};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn shell(script: &str) -> Process {
    Process::spawn(Command::new("sh").args(["-c", script])).unwrap()
}

#[tokio::test]
async fn lines_of_both_streams_are_found_and_kept() {
    let program = shell("echo one; echo two >&2; exec sleep 60");

    assert_eq!(program.line("tw").await.unwrap(), "two");
    assert_eq!(program.line("one").await.unwrap(), "one");
    assert!(program.is_running());
}

#[tokio::test]
async fn waiting_for_a_line_fails_at_once_when_the_program_has_ended() {
    let program = shell("echo the reason; exit 3");

    let error = program.line("never").await.unwrap_err();

    assert!(error.to_string().contains("the reason"), "{error}");
    assert_eq!(program.ended().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn terminate_lets_the_program_end_in_its_own_way_and_kill_does_not() {
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    let (polite, killed) = (shell(script), shell(script));
    polite.line("ready").await.unwrap();
    killed.line("ready").await.unwrap();

    assert_eq!(polite.terminate().await.unwrap().code(), Some(5));
    assert_eq!(killed.kill().await.unwrap().signal(), Some(9));
}

#[tokio::test]
async fn an_http_server_is_waited_for_until_it_answers_200() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let program = shell("exec sleep 60");
    let server = tokio::spawn(async move {
        for status in ["503 Service Unavailable", "200 OK"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
        }
    });

    program.answers(&address, "/readyz").await.unwrap();

    server.await.unwrap();
}

#[test]
fn a_program_of_the_workspace_is_found_and_a_missing_one_named() {
    assert!(workspace_program("with-servers").unwrap().exists());
    assert!(workspace_program("no-such-program").unwrap_err().to_string().contains("no-such-program"));
}

#[test]
fn no_two_free_ports_are_the_same() {
    let ports: std::collections::HashSet<u16> = (0..500).map(|_| free_port()).collect();

    assert_eq!(ports.len(), 500);
}
