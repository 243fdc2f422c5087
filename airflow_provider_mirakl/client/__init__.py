"""The only room that talks HTTP: ``http.Client`` for workers, ``http.AsyncClient`` for triggers."""
