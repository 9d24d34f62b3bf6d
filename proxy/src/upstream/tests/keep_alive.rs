//! Which connections are used again, and which never.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_used_again() {
    worker(async |pool, server| {
        let (first, mut peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(OK));
        assert_eq!(first.unwrap(), (200, "ok".to_owned()));
        assert_eq!(pool.idle_count(), 1);
        let (second, ()) = tokio::join!(fetch(pool, server, "GET"), peer.answer(OK));
        assert_eq!(second.unwrap(), (200, "ok".to_owned()));
        assert_eq!(pool.idle_count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_back_before_its_last_bytes_are_used_and_so_is_its_buffer_behind_them() {
    worker(async |pool, server| {
        let (started, _peer) = tokio::join!(start(pool, server, "GET", None), server.answer(OK));
        let body = started.unwrap().1.into_body(false);
        assert_eq!(pool.idle_count(), 1);
        assert_eq!(pool.buffers.idle(), (0, 1), "the bytes lie in one");
        assert_eq!(body.length(), BodyLength::Length(2));
        assert_eq!(text(body).await.unwrap(), "ok");
        assert_eq!(pool.buffers.idle(), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn the_latest_used_connection_is_taken_first() {
    worker(async |pool, server| {
        let both = async {
            tokio::join!(
                start(pool, server, "GET", None),
                start(pool, server, "GET", None)
            )
        };
        let peers = async {
            let (mut one, mut two) = (server.accept().await, server.accept().await);
            one.answer(OK).await;
            two.answer(OK).await;
            (one, two)
        };
        let ((one, two), (mut first, mut second)) = tokio::join!(both, peers);
        let (one, two) = (one.unwrap().1, two.unwrap().1);
        drop(two.into_body(false));
        drop(one.into_body(false));
        assert_eq!(pool.idle_count(), 2);
        let answer = async {
            tokio::select! {
                () = first.answer(OK) => 1,
                () = second.answer(OK) => 2,
            }
        };
        let (fetched, which) = tokio::join!(fetch(pool, server, "GET"), answer);
        assert!(fetched.is_ok());
        assert_eq!(which, 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_closed_or_spoke_while_idle_is_thrown_away() {
    for last_words in [
        "",
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    ] {
        worker(async |pool, server| {
            let (first, mut peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(OK));
            assert!(first.is_ok());
            peer.write(last_words).await;
            drop(peer);
            settle().await;
            assert_eq!(pool.idle_count(), 1);
            let (second, _peer) = tokio::join!(fetch(pool, server, "POST"), server.answer(OK));
            assert_eq!(second.unwrap(), (200, "ok".to_owned()));
            assert_eq!(pool.idle_count(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn the_keep_alive_race_is_told_from_a_crash() {
    worker(async |pool, server| {
        let (first, mut peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(OK));
        assert!(first.is_ok());
        let hang_up = async {
            peer.head().await;
            drop(peer);
        };
        let (second, ()) = tokio::join!(fetch(pool, server, "GET"), hang_up);
        let error = second.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Closed(stage) if stage.reused && !stage.response_begun),
            "{error:?}"
        );
        assert!(error.retry_is_safe(true));
        assert!(!error.retry_is_safe(false));

        let crash = async { server.accept().await.head().await };
        let (third, _) = tokio::join!(fetch(pool, server, "GET"), crash);
        assert!(!third.unwrap_err().retry_is_safe(true));
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_not_used_again_where_either_side_forbids_it() {
    let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nX",
    ];
    for response in responses {
        worker(async |pool, server| {
            let (fetched, mut peer) =
                tokio::join!(fetch(pool, server, "GET"), server.answer(response));
            assert_eq!(fetched.unwrap(), (200, "ok".to_owned()), "{response:?}");
            assert_eq!(pool.idle_count(), 0, "{response:?}");
            peer.closed().await;
        })
        .await;
    }
}

#[tokio::test]
async fn an_address_that_is_gone_keeps_no_connection_idle_or_in_use() {
    worker(async |pool, server| {
        let (first, mut idle) = tokio::join!(fetch(pool, server, "GET"), server.answer(OK));
        assert!(first.is_ok());
        pool.retain(|address| *address == server.address);
        assert_eq!(pool.idle_count(), 1);
        pool.retain(|_| false);
        assert_eq!(pool.idle_count(), 0);
        idle.closed().await;

        let half = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no";
        let (started, mut first) =
            tokio::join!(start(pool, server, "GET", None), server.answer(half));
        let first_body = started.unwrap().1.into_body(false);
        let (started, mut second) =
            tokio::join!(start(pool, server, "GET", None), server.answer(half));
        let second_body = started.unwrap().1.into_body(false);
        let (third, mut idle) = tokio::join!(fetch(pool, server, "GET"), server.answer(OK));
        assert!(third.is_ok());
        pool.retain(|_| false);
        idle.closed().await;
        first.write("k").await;
        assert_eq!(text(first_body).await.unwrap(), "ok");
        first.closed().await;
        second.write("k").await;
        assert_eq!(text(second_body).await.unwrap(), "ok");
        second.closed().await;
        assert_eq!(pool.idle_count(), 0);

        // The address comes back: new connections are kept, the old one stays closed.
        let (again, _peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(OK));
        assert!(again.is_ok());
        assert_eq!(pool.idle_count(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn idle_connections_expire_without_anybody_asking() {
    worker(async |pool, server| {
        let (first, mut peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(OK));
        assert!(first.is_ok());
        let began = tokio::time::Instant::now();
        peer.closed().await;
        assert_eq!(pool.idle_count(), 0);
        assert_eq!(began.elapsed().as_secs(), 4);
    })
    .await;
}

#[tokio::test]
async fn responses_without_a_body_leave_the_connection_usable() {
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    worker(async |pool, server| {
        let (first, mut peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(OK));
        assert!(first.is_ok());
        for (method, response) in cases {
            let (started, ()) =
                tokio::join!(start(pool, server, method, None), peer.answer(response));
            let body = started.unwrap().1.into_body(false);
            assert!(body.is_whole(), "{response:?}");
            assert!(body.piece().is_empty());
            assert_eq!(pool.idle_count(), 1, "{response:?}");
        }
    })
    .await;
}
