//! Filters of lists.

use super::Api;

#[tokio::test]
async fn lists_are_filtered_by_what_tells_their_items_apart() {
    let api = Api::with_shop().await;
    for (list, names) in [
        (
            "routes?name_prefix=products",
            vec!["products", "products-beta"],
        ),
        (
            "routes?host=shop.example",
            vec!["products", "products-beta"],
        ),
        ("routes?host=*", vec!["account", "hello"]),
        (
            "routes?cluster=catalog-next",
            vec!["products", "products-beta"],
        ),
        (
            "routes?cluster=catalog-next&host=*.shop.example",
            vec!["products"],
        ),
        ("routes?listener=web&name_prefix=h", vec!["hello"]),
        (
            "clusters?name_prefix=catalog",
            vec!["catalog", "catalog-next"],
        ),
        ("listeners?name_prefix=x", vec![]),
    ] {
        let found = api
            .get(&format!("/v1/fleets/default/{list}"))
            .await
            .expect(200);
        assert_eq!(found.names(), names, "{list}");
    }
    assert_eq!(
        api.get("/v1/fleets?name_prefix=d").await.names(),
        ["default"]
    );
    api.get("/v1/fleets/default/clusters?host=x")
        .await
        .problem(400, "bad-request");
    api.get("/v1/fleets/default/nodes?connected=maybe")
        .await
        .problem(400, "bad-request");
}

#[tokio::test]
async fn pages_of_a_filtered_list_are_full_as_long_as_there_is_more() {
    let api = Api::with_shop().await;
    let mut names = Vec::new();
    let list = "/v1/fleets/default/routes?cluster=catalog-next&limit=1";
    let mut path = list.to_owned();
    loop {
        let page = api.get(&path).await.expect(200);
        assert_eq!(page.names().len(), 1);
        names.extend(page.names());
        match page.json()["next_page_token"].as_str() {
            Some(token) => path = format!("{list}&page_token={token}"),
            None => break,
        }
    }
    assert_eq!(names, ["products", "products-beta"]);
}
