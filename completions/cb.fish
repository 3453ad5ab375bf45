complete --keep-order --exclusive --command cb --arguments "(CB_COMPLETE=fish cb -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
