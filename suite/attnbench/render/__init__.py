"""The pages of the site: each module turns results into views of tables and charts; attnbench.publish writes them."""
