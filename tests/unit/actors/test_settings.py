"""Names and environment of the actors."""

import pytest

from actors.settings import PRELOAD_VARIABLE, keep_others_out, leader_incarnations, leader_name, prepare_environment


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


@pytest.mark.parametrize("on_s3", [False, True])
def test_workers_import_the_s3_client_before_they_have_work_only_where_the_bucket_is_on_s3(on_s3: bool) -> None:
    environ: dict[str, str] = {}
    prepare_environment(environ, on_s3=on_s3)
    modules = environ[PRELOAD_VARIABLE].split(",")
    assert "actors.warm" in modules
    assert ("raylog.storage.s3_store" in modules) == on_s3
