"""Names and environment of the actors."""

from actors.settings import keep_others_out, leader_incarnations, leader_name, prepare_environment


def test_incarnations_of_one_leader_are_found_among_other_names() -> None:
    names = [leader_name(1, 2), leader_name(1, 10), leader_name(11, 7), "raylog-controller", leader_name(1, 1)]
    assert leader_incarnations(names, 1) == [1, 2, 10]
    assert leader_incarnations(names, 2) == []


def test_what_the_user_has_set_stays() -> None:
    environ = {"RAY_worker_niceness": "5", "RAY_AUTH_MODE": "disabled"}
    prepare_environment(environ)
    keep_others_out(environ)
    assert environ["RAY_worker_niceness"] == "5"
    assert "RAY_AUTH_TOKEN" not in environ


def test_an_embedded_cluster_has_a_token_of_its_own() -> None:
    first: dict[str, str] = {}
    second: dict[str, str] = {}
    keep_others_out(first)
    keep_others_out(second)
    assert first["RAY_AUTH_MODE"] == "token"
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
