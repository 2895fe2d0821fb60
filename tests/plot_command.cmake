# --plot: pictures as files and on the terminal, by gnuplot.
longrun_python_test(plot_command_test plot_command_test/plot_command_test.py)
