"""Results as pictures, one module for each kind; imported only when a picture is drawn."""
